"""The widgets of the dashboard: they draw data, and post messages about what the user does with them."""
