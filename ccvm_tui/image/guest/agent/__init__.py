"""The guest agent, which runs as root and serves the control port.

It runs on the guest's Python and uses only the standard library, of which it imports as little as possible: under
emulation each module takes tens of milliseconds.
"""
