"""Input from the host terminal, and output to it, where Textual's own is too slow or knows too little."""
