"""What people are told of, where and when: pure decisions over what was found and halted."""
