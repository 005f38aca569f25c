/** What the page says about itself: in a word, and, where something failed, what to do. */

/** By state of a `Session` and of the page. */
export const STATES = {
  idle: "Ready",
  asking: "Waiting for the microphone",
  connecting: "Connecting",
  open: "Listening",
  playing: "Playing",
  reconnecting: "Reconnecting",
  finishing: "Finishing",
  ended: "Finished",
  failed: "Stopped",
};

/** By code of a `CaptureFailed`, of a failed `Session`, or of the server: title, advice. */
const PROBLEMS = {
  insecure: [
    "The browser gives no microphone to this page",
    "It does so for https pages and for localhost alone: open the page by one of these.",
  ],
  denied: [
    "The microphone was refused",
    "Allow it in the browser’s settings for this page, then start again.",
  ],
  no_microphone: ["No microphone was found", "Plug one in, or play a file."],
  busy: [
    "The microphone does not open",
    "Another program may hold it: close that one, then start again.",
  ],
  rate: ["This device is too slow", "It records less than 8000 samples a second."],
  unplugged: [
    "The microphone is gone",
    "What was heard until then is kept. Plug it in again and start anew.",
  ],
  slept: [
    "This computer has slept",
    "The server has ended the session meanwhile. What was heard is kept here; start again to go on.",
  ],
  not_audio: ["This file cannot be played", "The browser knows no sound in it."],
  file_broken: ["This file breaks off", "All that could be played of it is here."],
  not_ours: ["This file is no session", "Expected JSON Lines that this page has exported."],
  unreachable: [
    "The server does not answer",
    "See that it runs and that this page is its own, then start again.",
  ],
  not_ready: ["The server takes no one at the moment", "Try again in a while."],
  server_full: ["The server is full", "Try again in a while."],
  server_busy: ["The server is busy", "Try again in a while."],
  owner_full: [
    "This token has too many sessions",
    "End one elsewhere, or try again in a while.",
  ],
  session_too_long: [
    "The session has reached its longest",
    "All that was said is here. Start again to go on.",
  ],
  idle: ["Nothing was heard for too long", "All that was said is here. Start again."],
  shutting_down: ["The server shuts down", "Try again in a while."],
  slow_reader: [
    "This browser fell behind",
    "The server stopped telling. Close other tabs, then start again.",
  ],
  no_token: ["The server wants a token", "Enter it under “Token”, then start again."],
  wrong_token: ["The server does not know this token", "Correct it, then start again."],
  wrong_origin: [
    "This page may not use this server",
    "Open the page from the server itself, or have its address allowed there.",
  ],
  dropped: [
    "The connection broke",
    "The server does not take sessions up again. What was heard is kept here.",
  ],
  too_late: [
    "The connection was away for too long",
    "The server has forgotten the session. What was heard is kept here.",
  ],
  resume_refused: [
    "The server does not know this session any more",
    "It may have been started anew. What was heard is kept here.",
  ],
  resumed_elsewhere: ["The session went on elsewhere", "What was heard is kept here."],
  audio_lost: [
    "The connection was away for too long",
    "More was said meanwhile than is kept. What was heard is kept here.",
  ],
  closed_1001: ["The server has stopped", "What was heard is kept here."],
  closed_1008: ["The server refuses", "A token may be missing, or it is wrong."],
  closed_1011: ["Something broke on the server", "It is in its log. Start again."],
  closed_1013: ["The server is full or too slow", "Try again in a while."],
};

/** The same for what is worth a word although nothing has ended for it. */
const NOTICES = {
  held: [
    "The browser holds the sound",
    "Nothing is heard until it lets go: come back to this page, or press any key.",
  ],
  muted: [
    "The microphone is muted",
    "Nothing is heard: switch it on at the device or in the system’s settings.",
  ],
  silent: [
    "Not a sound comes from the microphone",
    "It may be switched off, or another one is chosen in the system’s settings.",
  ],
  gap: [
    "Some time is missing",
    "This computer slept, or its sound stood still. The turn before was ended there.",
  ],
  no_speech: ["No speech was found in this file", "There may be none, or no sound at all."],
  no_voice: ["No speech was heard", "See that the right microphone is chosen and not too quiet."],
  held_back: [
    "The server lets less in than comes",
    "Nothing is lost: what waits is heard later.",
  ],
  turns_left_out: [
    "This browser fell behind",
    "What others said meanwhile is not all here.",
  ],
  moved: ["The server has shut down", "Another one has taken over; nothing is lost."],
  moved_anew: [
    "The server has shut down",
    "Another one has taken over. It does not know what was said before.",
  ],
  not_now: ["A session is running", "Stop it first, then drop the file again."],
};

/** Whether a code is worth a word and no more. */
export function hasNotice(code) {
  return Object.hasOwn(NOTICES, code);
}

/** Give `{title, advice, isNotice}` for a code; `message` is what the server itself said. */
export function describeProblem(code, message) {
  const isNotice = hasNotice(code);
  const known = isNotice ? NOTICES : PROBLEMS;
  if (!Object.hasOwn(known, code)) {
    return { title: "The server says", advice: message || `Code: ${code}.`, isNotice };
  }
  const [title, advice] = known[code];
  return { title, advice, isNotice };
}
