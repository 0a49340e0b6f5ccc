"""Is the schema for other languages what the structs say, and can they read what is written with it?"""

import subprocess
import sys
from pathlib import Path

from quorate.codec.formats import find_codec
from quorate.codec.schemas.agents import AgentMessage
from quorate.codec.schemas.proto import PROTO, extend_numbers, find_shapes, render_numbers, render_proto
from quorate.codec.schemas.shapes import NUMBERS, load_numbers
from quorate.messages import Text

HERE = Path(sys.modules[find_shapes.__module__].__file__ or "").parent
READER = """
import sys
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
pool = descriptor_pool.DescriptorPool()
for file in descriptor_pb2.FileDescriptorSet.FromString(open(sys.argv[1], "rb").read()).file:
    pool.Add(file)
kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("quorate.v1.AgentMessage"))
letter = kind.FromString(open(sys.argv[2], "rb").read())
assert not any(name.startswith("quorate") for name in sys.modules)
print(letter.sender, letter.parts[0].text.text, letter.labels["a"], letter.HasField("deadline"))
letter.sender = "reader"
open(sys.argv[2], "wb").write(letter.SerializeToString())
"""


def test_the_schema_is_written_from_the_structs() -> None:
    """`python -m quorate.codec.schemas.proto` writes it anew."""
    numbers = load_numbers()
    assert extend_numbers(numbers) == numbers
    assert render_numbers(numbers) == (HERE / NUMBERS).read_text()
    assert render_proto(find_shapes(numbers)) == (HERE / PROTO).read_text()


def test_no_number_is_given_twice_and_none_changes() -> None:
    """A new field gets a new number, also where another one is gone."""
    numbers = load_numbers()
    for fields in numbers.values():
        assert len(set(fields.values())) == len(fields)
        assert min(fields.values()) >= 1
    older = {**numbers, "AgentMessage": {**numbers["AgentMessage"], "gone": 77}}
    del older["AgentMessage"]["labels"]
    again = extend_numbers(older)["AgentMessage"]
    assert (again["gone"], again["labels"]) == (77, 78)


def test_a_program_with_the_schema_alone_reads_and_writes_our_messages(tmp_path: Path) -> None:
    """A client made by stock protoc from `quorate.proto`, without a line of ours. row: A6"""
    compiled, letter = tmp_path / "quorate.pb", tmp_path / "letter"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{HERE}", f"--descriptor_set_out={compiled}", PROTO]
    subprocess.run(protoc, check=True)
    codec = find_codec("protobuf")
    sent = AgentMessage(id="m", sender="scout", parts=(Text(text="It is slow."),), labels={"a": "b"})
    letter.write_bytes(codec.encode(sent))
    done = subprocess.run([sys.executable, "-c", READER, compiled, letter], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["scout", "It", "is", "slow.", "b", "False"]
    read = codec.decode(letter.read_bytes(), AgentMessage)
    assert (read.sender, read.parts, read.deadline) == ("reader", sent.parts, None)
