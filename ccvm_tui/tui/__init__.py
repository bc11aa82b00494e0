"""The dashboard: a Textual app that is a client of the keepers.

``model`` holds the state, and ``actions`` change it; neither knows a widget. ``terminal_io`` reads from the host
terminal and writes to it. ``widgets`` and ``dialogs`` draw the model and post messages, which ``screens`` handle.
"""
