"""LitServe with its own batching of up to 32 requests, torch in fp32."""

import sys

import litserve
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Api(litserve.LitAPI):
    def setup(self, device):  # noqa: ARG002 - the base class has it
        torch.set_num_threads(num_threads)
        self.tokenizer = AutoTokenizer.from_pretrained(f"{folder}/bundle")
        self.model = AutoModelForSequenceClassification.from_pretrained(f"{folder}/bundle", dtype=torch.float32).eval()

    def decode_request(self, request):
        return request["text"]

    def predict(self, texts):
        inputs = self.tokenizer(list(texts), padding=True, truncation=True, max_length=128, return_tensors="pt")
        with torch.inference_mode():
            return torch.softmax(self.model(**inputs).logits, dim=-1).tolist()

    def encode_response(self, output):
        return {"probabilities": output}


folder, port, num_threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

if __name__ == "__main__":
    api = Api(max_batch_size=32, batch_timeout=0.005)
    litserve.LitServer(api, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=port, generate_client_file=False, num_api_servers=1, log_level="warning"
    )
