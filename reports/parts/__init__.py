"""The parts of the page as plain data: the first screen, cards, the comparison, chapters, what stands at the end."""
