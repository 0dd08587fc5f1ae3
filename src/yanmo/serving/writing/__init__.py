"""Texts that are written over HTTP, as the clients of OpenAI and Hugging Face ask for them.

completions.py  POST /v1/completions           chat.py: POST /v1/chat/completions
generate.py     POST /generate, POST /score
answer_stream.py   an answer of POST /predict that is sent while it is written
asking.py       from a body to what is asked of the engine
events.py       an answer that is sent as it grows   problems in OpenAI's form
schemas.py      the wire types
model.py        one model: admission, deadlines, another Bundle
engine.py       the thread that writes               knows nothing of HTTP
telemetry.py    what happened, counted
"""
