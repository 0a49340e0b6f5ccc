"""Which tools come with Quorate? Each group is built by a function, so that nothing is global."""
