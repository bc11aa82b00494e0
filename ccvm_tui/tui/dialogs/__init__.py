"""Questions and lists that cover the main screen and return an answer."""
