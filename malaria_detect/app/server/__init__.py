"""How the page and the HTTP interface run: :mod:`malaria_detect.app.server.app` is the server, the rest its parts."""
