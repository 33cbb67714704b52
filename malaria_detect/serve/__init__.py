"""How the page and the HTTP interface run: :mod:`malaria_detect.serve.app` is the server, the rest its parts."""
