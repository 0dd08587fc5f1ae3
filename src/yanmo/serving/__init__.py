"""The HTTP service around Bundles; it knows neither torch nor verbs.

serve.py       the command: sockets, server, signals       knows nothing of JSON
connection.py  one connection: deadlines, sizes            knows no route
app.py         finds the route, asks who may               knows no model
routes.py      the table of routes
predict.py     bytes in, bytes out                         knows no socket
requests.py    what a request may hold                     schemas.py: the wire types
scores.py      the answer in the form of others           model_info.py: a model in it
open_inference.py  KServe v2 and Triton                   tensors.py: its wire types and bytes
invocations.py SageMaker, Vertex AI, MLflow, KServe v1
document.py    the document of the API for one service    openapi.py: made from all tables
problems.py    every error a client can meet, one table
access.py      Host, Origin, API key, quota                keys.py: the file of keys
hosts.py       the names of the service                    origins.py: pages of others, proxies
service.py     all models, and where the service stands    knows nothing of HTTP
model.py       one model: queue, workers, another Bundle   knows nothing of HTTP
batcher.py     the queue                                   knows nothing of texts; queued.py: one request in it
workers.py     a thread, or a process that is watched      child.py, frames.py: the process
answering.py   a Bundle answers a batch                    knows no queue
telemetry.py   what happened, counted                      prometheus.py: in its format
drift.py       whether the inputs have changed
logs.py        a line a request                            tracing.py: a span a request
client.py      asks a service                              knows only the wire
"""
