"""Terminals: cells, events, the emulator, and the encoding of keys, mouse events and pastes.

Import the module you need. ``cells``, ``events``, ``keys``, ``mouse``, ``paste`` and ``reports`` are pure and cheap to
import. ``emulator`` loads the native parser; in this program only the screen process may import it.
"""
