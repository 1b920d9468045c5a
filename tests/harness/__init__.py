"""What the client suites share: broker processes, client drivers, and the story each client must live through."""
