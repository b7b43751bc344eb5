"""The back office: Django's admin over entity views and operations, so that rights and rules are the API's."""
