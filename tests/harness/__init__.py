"""What the client suites share: broker processes to test against, client drivers, and the story each client must live through."""
