"""The command `tritonreel`: a client of a Tritonreel server, wherever it runs, and the door to the launcher."""
