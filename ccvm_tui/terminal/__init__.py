"""What a terminal is: cells and events, the emulator behind them, and what keys and mice send to a program.

Import the module you need: `cells`, `events`, `keys`, `mouse`, `paste` and `reports` are pure and cheap;
`emulator` loads the native parser and belongs in the screen process alone.
"""
