"""Writing texts with a decoder; the further down, the less it knows of texts.

writer.py          prompts in, texts out                    knows tokens only through a tokenizer
generator.py       rows that begin, grow and end together   knows ids, no text
beams.py           several beginnings of one row, the best of them
draft_bundles.py   from a Bundle to a draft                 knows the formats
drafting.py        a small model that foresees tokens       knows no bundle
guessing.py        tokens that may come next                knows no model
sampling.py        scores to the next id of each row        numpy
growing_answers.py what answers have grown by       knows ids and a tokenizer
repeats.py         answers that repeat themselves       knows no model
decoder_session.py the graph and its buffers                knows no row's wishes
room.py            memory for them                      knows no model
decoding.py        what may be wished
"""
