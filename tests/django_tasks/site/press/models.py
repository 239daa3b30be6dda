"""The pages of the press: a site in Wagtail."""

from wagtail.fields import RichTextField
from wagtail.models import Page
from wagtail.search import index


class Article(Page):
    """An article whose body can be searched."""

    body = RichTextField()
    search_fields = (*Page.search_fields, index.SearchField("body"))
