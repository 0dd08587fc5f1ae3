"""The HTTP service around one Bundle; it knows neither torch nor verbs.

serve.py      the command: socket, server, signals        knows nothing of JSON
app.py        routes: bytes in, bytes out                 knows nothing of models
schemas.py    the wire types, and what a request may hold
problems.py   every error a client can meet, one table
service.py    one Bundle: loading, warm-up, answering     knows nothing of HTTP
batcher.py    the queue before the model                  knows nothing of texts
config.py     the settings
"""
