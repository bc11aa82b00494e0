"""Emoji of several characters, on whose width terminals and programs do not agree."""

print("👍🏽|👩‍👩‍👧|🇩🇪🇫🇷|❤️|☎️|🏳️‍🌈|")
print("\x1b[32mafter 👩‍👩‍👧 them\x1b[0m|👩‍👩‍👧  two blanks|")
print("done")
