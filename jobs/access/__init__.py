"""Who may do what: roles, tokens, and the record of what people did.

The rule stands in roles.py, once. The API, the Django admin and the pages all ask it.
"""
