/**
 * Ask over HTTP why no socket could be opened at `address`: a browser does not tell. Gives
 * "no_token", "wrong_token", "wrong_origin", "not_ready" or "unreachable".
 */
export async function diagnose(address) {
  const url = new URL(address);
  url.protocol = url.protocol.replace("ws", "http");
  try {
    const { status } = await fetch(url);
    if (status === 401) return url.searchParams.has("token") ? "wrong_token" : "no_token";
    return status === 403 ? "wrong_origin" : "not_ready";
  } catch {
    return "unreachable";
  }
}
