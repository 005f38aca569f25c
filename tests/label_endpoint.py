"""A real HTTP server that answers like an OpenAI-compatible one, and who asks it."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from offline.__main__ import main

TEXTS = ["That is great.", "How awful!", "I see.", "Oh.", "It is great.", "So awful."]
SOON = {
    "retry-after-ms": "1"
}  # the client's own wait of half a second is too long here


@dataclass
class Reply:
    """What goes back; a string as it is, anything else as JSON."""

    body: object
    status: int = 200
    headers: dict = field(default_factory=dict)


def completion(content, tokens_in=100, tokens_out=10):
    """A chat completion with this answer."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }
    head = {"id": "c", "object": "chat.completion", "created": 0, "model": "tiny"}
    return Reply({**head, "choices": [choice], "usage": usage})


def refusal(status, message, headers=SOON, param=None):
    """An error in the form that OpenAI's have."""
    error = {"message": message, "type": "error", "param": param, "code": None}
    return Reply({"error": error}, status, headers)


def texts_of(request):
    """The texts of a request, whichever prompt asked."""
    system, user = (message["content"] for message in request["messages"])
    if "no extra text" in system:
        return [user]
    return [line.partition(". ")[2] for line in user.split("\n")]


def judge(text):
    """What the model of these tests feels about a text."""
    if "great" in text:
        return "positive", "joy"
    if "awful" in text:
        return "negative", "anger"
    return "neutral", "neutral"


def entries(texts):
    return [
        {"number": number, "sentiment": judge(text)[0], "emotion": judge(text)[1]}
        for number, text in enumerate(texts, start=1)
    ]


def answer_well(request):
    """The right answer to either prompt."""
    texts = texts_of(request)
    if "no extra text" in request["messages"][0]["content"]:
        return completion(judge(texts[0])[0])
    return completion(json.dumps({"labels": entries(texts)}))


class LabelEndpoint:
    """Keeps what was asked; `answer` turns a request into a Reply.

    Attributes:
        requests: Bodies, in the order of their arrival.
        keys: What came as Authorization.
        n_at_once: The most requests that were under way together.
    """

    def __init__(self, answer=answer_well):
        self.answer = answer
        self.requests = []
        self.keys = []
        self.n_at_once = 0
        self._n_open = 0
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            # HTTP/1.0: each request has a connection of its own, so that a server
            # that is closed is closed at once.
            def do_POST(self):
                endpoint.handle(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def asked(self):
        """Every text in order, as often as it was asked."""
        return [text for request in self.requests for text in texts_of(request)]

    def handle(self, handler):
        size = int(handler.headers["content-length"])
        request = json.loads(handler.rfile.read(size))
        with self._lock:
            self.requests.append(request)
            self.keys.append(handler.headers["authorization"])
            self._n_open += 1
            self.n_at_once = max(self.n_at_once, self._n_open)
        try:
            reply = self.answer(request)
        finally:
            # Before the reply is out: the client may send the next one right then.
            with self._lock:
                self._n_open -= 1
        send(handler, reply)

    def serve(self):
        self._server.serve_forever(poll_interval=0.01)

    def go_down(self):
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()


def send(handler, reply):
    is_text = isinstance(reply.body, str)
    body = (reply.body if is_text else json.dumps(reply.body)).encode()
    kind = "text/html" if is_text else "application/json"
    try:
        handler.send_response(reply.status)
        headers = {"content-type": kind, "content-length": len(body), **reply.headers}
        for name, value in headers.items():
            handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(body)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the client did not wait


@contextmanager
def label_endpoint(answer=answer_well):
    """Run an endpoint in a thread."""
    endpoint = LabelEndpoint(answer)
    thread = threading.Thread(target=endpoint.serve)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.go_down()
        thread.join()


def write_corpus(folder):
    """Six utterances with words, and one without."""
    file = folder / "corpus.jsonl"
    rows = [{"dialogue": "d", "turn": 9, "speaker": "Ann", "audio": "a.wav"}] + [
        {"dialogue": f"d{turn // 3}", "turn": turn, "speaker": "Ann", "text": text}
        for turn, text in enumerate(TEXTS)
    ]
    return write_lines(file, rows)


def write_lines(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def read_lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def run_label(corpus, url, *options):
    """Label a corpus, two texts a request, one after another unless told otherwise.

    Gives the exit code and the labels.
    """
    out = corpus.with_name("labels.jsonl")
    arguments = ["label", str(corpus), "--out", str(out), "--endpoint", url]
    arguments += ["--model", "tiny", "--per-request", "2", "--concurrency", "1"]
    code = main([*arguments, "--retries", "3", *options])
    return code, read_lines(out) if out.exists() else None
