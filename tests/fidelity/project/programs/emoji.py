"""Print emoji of several code points, about whose width terminals and programs disagree."""

print("👍🏽|👩‍👩‍👧|🇩🇪🇫🇷|❤️|☎️|🏳️‍🌈|")
print("\x1b[32mafter 👩‍👩‍👧 them\x1b[0m|👩‍👩‍👧  two blanks|")
print("done")
