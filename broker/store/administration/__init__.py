"""What operators look through: lists by page, read without opening anything that is sealed."""
