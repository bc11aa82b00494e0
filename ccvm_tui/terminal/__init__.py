"""Terminals: cells, events, the emulator, the leader key, and the decoding and encoding of keys, mouse and pastes.

Import the module you need. ``cells``, ``events``, ``input``, ``keys``, ``leader``, ``lexer``, ``mouse``, ``paste`` and
``reports`` are pure and cheap to import. ``emulator`` loads the native parser; in this program only the screen process
may import it.
"""
