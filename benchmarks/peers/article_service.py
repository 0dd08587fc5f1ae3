"""A service as articles about deploying BERT write it: Flask's own server, torch in fp32, every text padded to 128."""

import sys

import torch
from flask import Flask, jsonify, request
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder, port, num_threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(num_threads)
tokenizer = AutoTokenizer.from_pretrained(f"{folder}/bundle")
model = AutoModelForSequenceClassification.from_pretrained(f"{folder}/bundle", dtype=torch.float32)
model.eval()
app = Flask(__name__)


@app.route("/predict", methods=["POST"])
def predict():
    text = request.get_json()["text"]
    inputs = tokenizer(text, padding="max_length", truncation=True, max_length=128, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    probabilities = torch.softmax(logits, dim=-1)[0]
    return jsonify({"label": int(probabilities.argmax()), "probabilities": probabilities.tolist()})


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=port)
