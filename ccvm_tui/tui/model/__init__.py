"""The state of the dashboard, independent of Textual and of every widget."""
