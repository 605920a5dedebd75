"""Who may move the operations plane: keys, signed messages and the roster of people and services.

NATS permissions are the second line, because a publisher can name any subject as its reply and the
server answers there. This is the first: what moves a halt carries an Ed25519 signature that every
receiver judges by itself, against a roster that an offline root key signed.
"""
