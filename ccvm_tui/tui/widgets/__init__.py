"""Parts of a screen: they show data and ask with messages."""
