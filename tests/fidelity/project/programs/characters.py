"""Print wide and combining characters and characters of uncertain width, also at the end of a line."""

import os

width = os.get_terminal_size().columns
print("漢字|かな|한글|ｆｕｌｌ|Ａ")
print("e\u0301 n\u0303 a\u0308\u0301 o\u0332\u0305 \u0e01\u0e34\u0e48 \u05d0\u05b8|\u0915\u094d\u0937|")
print("😀|👋|🚀|🧑|⌚|🎉|")
print("─│┌┐└┘├┤┬┴┼ ▁▂▃▄▅▆▇█ ░▒▓ ⠁⠃⠇ ∀∃∅ →⇒ ½ ™ ⚡|")
print("\x1b(0lqqk x a`~\x1b(B|")
print("-" * (width - 1) + "漢")  # does not fit, and wraps to the next line
print("=" * (width - 2) + "字" + "wrapped after a wide one")
print("x" * (width - 1) + "e\u0301" + "\u0301|")
print("_" * width + "at the edge")
print("ab\u200bc\u00adde\u2060f|\u00a0|\u3000|\ufeff|")
print("\x1b[31m赤\x1b[4m線\x1b[0m\x1b[7m逆 é\x1b[0m|", end="")
