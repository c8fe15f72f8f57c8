const card = { name: "", chat: [] };
let messages = [], attached = [], writing = null;
const log = $("#log"), hint = $(".hint"), area = $("#text");
const kindOf = file => file.type.split("/")[0];
const dataUrl = file => new Promise((done, fail) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.onerror = () => fail(new Error(`${file.name} cannot be read.`));
  reader.readAsDataURL(file);
});

// What goes with the next message.
const attach = async files => {
  for (let file of files) {
    try {
      if (!card.chat.includes(kindOf(file))) throw new Error(`The model cannot take ${file.name}.`);
      if (kindOf(file) === "audio" && !/wav|flac|mpeg|mp3|ogg/.test(file.type)) file = await toWav(file);
      attached.push({ kind: kindOf(file), name: file.name, url: await dataUrl(file) });
    } catch (error) { fail(error); }
  }
  showAttached();
};
const showAttached = () => $("#attached").replaceChildren(...attached.map((one, k) => make("li", {},
  one.kind === "image" ? make("img", { src: one.url, alt: "" }) : null,
  make("span", { textContent: one.name }),
  make("button", { type: "button", textContent: "×", ariaLabel: `Remove ${one.name}`, onclick: () => {
    attached.splice(k, 1);
    showAttached();
    area.focus();
  } }))));
const partOf = one => one.kind === "image" ? { type: "image_url", image_url: { url: one.url } }
  : { type: "input_audio", input_audio: { data: one.url.split(",")[1], format: one.url.match(/^data:audio\/(?:x-)?(\w+)/)?.[1] ?? "wav" } };

// The turns as they look.
const add = (role, ...children) => {
  hint.hidden = true;
  const turn = make("div", { className: `turn ${role}` }, make("p", { className: "who", textContent: role === "user" ? "you" : card.name }), ...children);
  log.append(turn);
  turn.scrollIntoView({ block: "end" });
  return turn;
};
const fail = error => {
  const words = make("p", { className: "banner alarm", textContent: error.message });
  words.setAttribute("role", "alert");
  log.append(words);
  words.scrollIntoView({ block: "end" });
};
const ofUser = (text, media) => add("user", ...media.map(one => one.kind === "image"
  ? make("img", { src: one.url, alt: one.name }) : make("audio", { controls: true, src: one.url })),
make("span", { textContent: text }));

// Asking, and reading the answer while it is written.
const number = (selector, name) => {
  const text = $(selector).value.trim();
  if (text && !Number.isFinite(Number(text))) throw new Error(`${name} is not a number: ${text}`);
  return text ? Number(text) : undefined;
};
const request = () => {
  const system = $("#system").value.trim();
  return {
    model: $("#model").value || card.name, stream: true, stream_options: { include_usage: true },
    messages: [...(system ? [{ role: "system", content: system }] : []), ...messages],
    temperature: number("#temperature", "The temperature"), max_tokens: number("#most", "The number of tokens"),
    seed: number("#seed", "The seed"),
  };
};
const events = async function* (response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.replace(/^data: /, "");
      if (data === "[DONE]") return;
      const content = JSON.parse(data);
      if (content.error) throw new Error(content.error.message);
      yield content;
    }
  }
};
const answer = async body => {
  const said = make("span", { className: "words" }), thought = make("pre");
  const thinking = make("details", { hidden: true }, make("summary", { textContent: "Reasoning" }), thought);
  const turn = add("assistant", thinking, said);
  turn.classList.add("writing");
  log.setAttribute("aria-busy", "true");
  writing = new AbortController();
  $("#send").textContent = "Stop";
  $("#busy").textContent = "writing …";
  const started = performance.now(), calls = [];
  let usage = null, ending = "";
  try {
    const response = await ask("v1/chat/completions", { method: "POST", body,
      headers: { "Content-Type": "application/json" }, signal: writing.signal });
    for await (const chunk of events(response)) {
      const near = innerHeight + scrollY > document.body.scrollHeight - 160;
      const delta = chunk.choices[0]?.delta ?? {};
      said.textContent += delta.content ?? "";
      if (delta.reasoning_content) { thinking.hidden = false; thought.textContent += delta.reasoning_content; }
      calls.push(...delta.tool_calls ?? []);
      ending = chunk.choices[0]?.finish_reason ?? ending;
      usage = chunk.usage ?? usage;
      if (near) turn.scrollIntoView({ block: "end" });
    }
    const text = said.textContent;
    if (!text && !calls.length) said.textContent = "(an empty answer; the question is forgotten)";
    if (calls.length) turn.append(make("pre", { textContent: JSON.stringify(calls.map(c => c.function), null, 2) }));
    const rate = usage ? usage.completion_tokens / ((performance.now() - started) / 1000) : 0;
    if (usage) turn.append(make("p", { className: "facts", textContent: `${usage.prompt_tokens} + ${usage.completion_tokens} tokens, ${rate.toFixed(1)} tokens/s${ending === "length" ? ", cut off at the maximum" : ""}` }));
    if (text) messages.push({ role: "assistant", content: text });
    else messages.pop();
  } catch (error) {
    if (error.name !== "AbortError") {
      turn.remove();
      throw error;
    } else {
      turn.append(make("p", { className: "facts", textContent: "stopped" }));
      if (said.textContent) messages.push({ role: "assistant", content: said.textContent });
      else messages.pop();
    }
  } finally {
    turn.classList.remove("writing");
    log.removeAttribute("aria-busy");
    writing = null;
    $("#send").textContent = "Send";
    $("#busy").textContent = "";
  }
};
const submit = async event => {
  event.preventDefault();
  document.querySelectorAll("#log .banner").forEach(told => told.remove());
  if (writing) return writing.abort();
  const text = area.value.trim(), media = attached;
  if (!text && !media.length) return area.focus();
  const parts = [...media.map(partOf), ...(text ? [{ type: "text", text }] : [])];
  messages.push({ role: "user", content: media.length ? parts : text });
  let turn = null;
  try {
    const body = JSON.stringify(request());
    turn = ofUser(text, media);
    attached = [];
    showAttached();
    area.value = "";
    await answer(body);
  } catch (error) {  // The message goes back to where it was written.
    messages.pop();
    turn?.remove();
    area.value ||= text;
    attached = media;
    showAttached();
    fail(error);
  }
  area.focus();
};

$("#ask").addEventListener("submit", submit);
area.addEventListener("keydown", event => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (!writing) $("#ask").requestSubmit();
});
$("#new").addEventListener("click", () => {
  writing?.abort();
  messages = [];
  log.replaceChildren(hint);
  hint.hidden = false;
  area.focus();
});
document.addEventListener("keydown", event => { if (event.key === "Escape") writing?.abort(); });
for (const name of ["dragover", "dragenter"])
  document.addEventListener(name, event => { event.preventDefault(); $("#ask").classList.add("over"); });
for (const name of ["dragleave", "drop"])
  document.addEventListener(name, event => { event.preventDefault(); $("#ask").classList.remove("over"); });
document.addEventListener("drop", event => attach([...event.dataTransfer.files]));
document.addEventListener("paste", event => {
  if (event.clipboardData.files.length) { event.preventDefault(); attach([...event.clipboardData.files]); }
});
$("#file")?.addEventListener("change", async () => {
  await attach([...$("#file").files]);
  $("#file").value = "";
  area.focus();
});

const begin = async () => {
  Object.assign(card, await (await ask("model")).json());
  if (card.chat.includes("audio")) $(".attach").after(recordButton(file => attach([file])));
  const listed = await (await ask("v1/models")).json();
  $("#model").replaceChildren(...listed.data.map(one => new Option(one.id, one.id)));
  $("#model-of").hidden = listed.data.length < 2;
  $("#code").textContent = `from openai import OpenAI

client = OpenAI(base_url="${new URL("v1", location.href)}", api_key="…")
answer = client.chat.completions.create(
    model=${JSON.stringify(card.name)}, messages=[{"role": "user", "content": "Hello"}]
)
print(answer.choices[0].message.content)`;
};
begin().catch(fail);
