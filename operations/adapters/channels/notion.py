"""Pages in a Notion database, one a message; the package apprise has no Notion."""

import msgspec

from operations.adapters.channels import http
from operations.adapters.channels.sender import Outgoing, cut, secret
from operations.alert_settings import Notion
from operations.errors import Rejected

VERSION = "2022-06-28"
LONGEST = 2000  # of one text


class NotionSender:
    """The database of the settings."""

    def __init__(self, settings: Notion, seconds: float) -> None:
        token = secret(settings.token, settings.token_file)
        if not token or not settings.database_id:
            raise Rejected("notion.token and notion.database_id are needed to send there")
        self._where = http.address(f"{settings.url.rstrip('/')}/v1/pages", "notion.url")
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Notion-Version": VERSION,
        }
        self._database_id = settings.database_id
        self._title = settings.title_property
        self._seconds = seconds

    async def send(self, outgoing: Outgoing) -> None:
        """Add a page. Raises Undelivered or Rejected."""
        lines = "\n".join(outgoing.text.split("\n")[1:]) or "-"
        body = {
            "parent": {"database_id": self._database_id},
            "properties": {self._title: {"title": [_text(outgoing.message.headline)]}},
            "children": [
                {"object": "block", "paragraph": {"rich_text": [_text(cut(lines, LONGEST))]}}
            ],
        }
        encoded = msgspec.json.encode(body)
        answer = await http.post(self._where, encoded, self._headers, self._seconds)
        http.judge(self._where, answer)


def _text(content: str) -> dict[str, object]:
    return {"type": "text", "text": {"content": content}}
