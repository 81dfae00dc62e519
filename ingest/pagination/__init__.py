"""Ways from one page to the next: `client.pages(url, by=pagination.cursor("meta.next", …))`.

Each function below says where a publisher tells how a listing goes on, and when it ends.
"""

from .asking import Asked, Way
from .counting import offset, page_number
from .following import cursor, link_header, next_url

__all__ = ["Asked", "Way", "cursor", "link_header", "next_url", "offset", "page_number"]
