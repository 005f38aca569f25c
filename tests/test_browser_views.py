"""The page's views: fast with a long conversation, and for everybody."""

import pytest
from browsing import browsing, needs_browser, on_shared_loop

from benchmarks.page_views import MOVES, WIDE, load, time_frames, write_hour
from benchmarks.report import spread

pytestmark = [needs_browser, on_shared_loop, pytest.mark.slow]


@pytest.fixture
def an_hour(tmp_path):
    return write_hour(tmp_path)


@pytest.mark.parametrize("move", MOVES)
async def test_an_hour_of_600_turns_moves_smoothly(chromium, server_url, an_hour, move):
    async with browsing(chromium, server_url, viewport=WIDE) as page:
        await load(page, an_hour)
        await page.click("#fit")
        rounds = [spread(await time_frames(page, move)).p95 for _ in range(3)]
        assert min(rounds) < 33.0  # the pauses of a busy machine are not the page's


async def test_the_time_line_leads_to_a_turn_by_pointer_and_by_key(
    chromium, server_url, an_hour
):
    async with browsing(chromium, server_url, viewport=WIDE) as page:
        await load(page, an_hour)
        await page.click("#fit")
        box = await page.locator("#lanes").bounding_box()
        await page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 40)
        chosen = await page.inner_text(".turn.selected .words")
        number = int(chosen.split("number ")[1].split(",")[0])
        assert 250 < number < 350
        assert "<i>no more</i>" in chosen
        visible = "([turn, list]) => turn.getBoundingClientRect().bottom <= list + 1"
        bottom = await page.eval_on_selector(
            "#turns", "list => list.getBoundingClientRect().bottom"
        )
        handle = await page.query_selector(".turn.selected")
        assert await page.evaluate(visible, [handle, bottom])
        for key, expected in (("ArrowRight", number + 1), ("Home", 0), ("End", 599)):
            await page.press("#lanes", key)
            selected = await page.inner_text(".turn.selected .words")
            assert f"number {expected}," in selected
            value = await page.get_attribute("#lanes", "aria-valuetext")
            assert value.startswith(f"turn {expected + 1} of 600, ")
        await page.press("#turns", "ArrowUp")
        assert "number 598," in await page.inner_text(".turn.selected .words")


PROBES = {
    "a rate that the server does not take is lowered without a mirror image": """
      const { Decimator, decimation } = await import("./worklet.js");
      if (decimation(48000) !== 1 || decimation(44100) !== 1) return "kept rates";
      if (decimation(88200) !== 2 || decimation(192000) !== 4) return "lowered rates";
      const loudness = (hz) => {
        const tone = Float32Array.from({ length: 96000 }, (_, i) =>
          Math.sin((2 * Math.PI * hz * i) / 96000));
        const decimator = new Decimator(2);
        const pieces = [tone.subarray(0, 777), tone.subarray(777)].flatMap(
          (piece) => [...decimator.push(piece)]);
        if (Math.abs(pieces.length - 48000) > 1) return NaN;
        const middle = pieces.slice(1000, -1000);
        const power = middle.reduce((sum, x) => sum + x * x, 0) / middle.length;
        return Math.sqrt(2 * power);
      };
      const [kept, gone] = [loudness(1000), loudness(30000)];
      return Math.abs(kept - 1) < 0.01 && gone < 0.001 ? "" : `${kept} ${gone}`;""",
    "samples are clipped, and what is no number is silence": """
      const { toPcm16 } = await import("./worklet.js");
      return [...toPcm16([0, 0.5, 1, -1, 7, -7, NaN])].join();""",
    "a block is cut where it is full, and the rest is flushed": """
      const { Blocks } = await import("./worklet.js");
      const [got, blocks] = [[], new Blocks(4)];
      const emit = (block) => got.push([...block].join(""));
      blocks.push(Float32Array.of(1, 2, 3), emit);
      blocks.push(Float32Array.of(4, 5, 6, 7, 8, 9), emit);
      blocks.flush(emit);
      blocks.flush(emit);
      return got.join(" ");""",
    "the journal gives what the server has not got, in order": """
      const { Journal } = await import("./journal.js");
      const journal = new Journal(8, 2);
      journal.addText("start");
      journal.addAudio(Int16Array.of(1, 2, 3, 4), 10);
      journal.addText("speaker");
      journal.addAudio(Int16Array.of(5, 6, 7, 8), 20);
      const show = (items) => items?.map((item) => item.toString()).join("|") ?? "gone";
      const state = () => `${show(journal.after(2, 1))} ${journal.sentAt(500)}`;
      const before = `${state()} ${show(journal.after(8, 2))}`;
      journal.addAudio(new Int16Array(16), 30);
      return `${before} ${state()}`;""",
    "a gap is what the clock passed and no block has filled": """
      const { GapWatch } = await import("./worklet.js");
      const watch = new GapWatch();
      const passed = [[1000, 30], [1030, 30], [3900, 30], [9930, 30], [9960, 30]];
      return passed.map(([now, length]) => watch.pass(now, length)).join();""",
    "a formula is text": """
      const { toCsv } = await import("./export.js");
      const turn = { isFinal: true, turn: 0, speaker: "=A1", startMs: 0, endMs: 5,
        text: "-1", isRejected: false, label: "joy", probabilities: { joy: 1 } };
      return toCsv({ turns: [turn], labels: ["joy"] }).split("\\r\\n")[1];""",
    "a comma, a quote and a line end stay in their cell": """
      const { toCsv } = await import("./export.js");
      const turn = { isFinal: true, turn: 0, speaker: 'a"b', startMs: 0, endMs: 5,
        text: "x,\\ny", isRejected: false, label: "joy", probabilities: { joy: 1 } };
      return toCsv({ turns: [turn], labels: ["joy"] }).split("\\r\\n")[1];""",
    "no words can end a caption": """
      const { toVtt } = await import("./export.js");
      const turn = { isFinal: true, turn: 0, speaker: "A\\nB", startMs: 61001,
        endMs: 3661002, text: "a --> b\\n\\n<c>",
        label: "joy", probabilities: { joy: 1 } };
      return toVtt({ turns: [turn] });""",
}
EXPECTED = {
    "samples": "0,16384,32767,-32768,32767,-32768,0",
    "a block": "1234 5678 9",
    "the journal": "3,4|speaker|5,6,7,8 10  gone null",
    "a gap": "0,0,0,6000,0",
    "a formula": "0,'=A1,0,5,'-1,false,joy,1",
    "a comma": '0,"a""b",0,5,"x,\ny",false,joy,1',
    "no words": "WEBVTT\n\n1\n00:01:01.001 --> 01:01:01.002\n"
    "<v A B>a --&gt; b &lt;c&gt;</v>\n[joy 100 %]\n",
}


@pytest.mark.parametrize("claim", PROBES)
async def test_of_the_modules(chromium, server_url, claim):
    async with browsing(chromium, server_url) as page:
        given = await page.evaluate(f"async () => {{{PROBES[claim]}}}")
    expected = [text for start, text in EXPECTED.items() if claim.startswith(start)]
    assert given == (expected[0] if expected else "")
