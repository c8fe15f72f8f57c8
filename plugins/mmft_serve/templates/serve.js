const short = value => Number(value.toPrecision(5)).toLocaleString("en", { maximumFractionDigits: 8 });
const given = new Map();  // By modality what returns its part of the request: a text, a file or null.

// What there is to fill in, by what the model reads.
const textInput = input => {
  const area = make("textarea", { id: `in-${input.modality}`, placeholder: "Type or paste a text, or drop a file" });
  area.addEventListener("dragover", event => event.preventDefault());
  area.addEventListener("drop", async event => {
    const file = event.dataTransfer.files[0];
    if (!file) return;
    event.preventDefault();
    area.value = await file.text();
  });
  area.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("#ask").requestSubmit();
  });
  given.set(input.modality, () => area.value.trim() ? area.value : null);
  return make("div", {}, make("label", { className: "name", htmlFor: area.id, textContent: input.modality }), area);
};
const rowInput = input => {
  const cells = Object.entries(input.fields).map(([name, categories]) => {
    const few = categories?.length && categories.length <= 200;
    const cell = few ? make("select", {}, new Option("", ""), ...categories.map(c => new Option(c, c)))
      : make("input", { type: "text", inputMode: categories ? "text" : "decimal", autocomplete: "off" });
    cell.dataset.column = name;
    return [name, cell];
  });
  given.set(input.modality, () => {
    const filled = cells.filter(([, cell]) => cell.value.trim());
    return filled.length ? JSON.stringify(Object.fromEntries(filled.map(([n, c]) => [n, c.value]))) : null;
  });
  const labels = cells.map(([name, cell]) => make("label", { textContent: name }, cell));
  return make("fieldset", {}, make("legend", { textContent: input.modality }), make("div", { className: "cells" }, ...labels));
};
const fileInput = input => {
  let chosen = null;
  const known = name => input.files.some(suffix => name.toLowerCase().endsWith(suffix));
  const hint = make("span", { className: "soft name", textContent: input.files.slice(0, 5).join(" ") });
  const call = make("span", {}, make("b", { textContent: "Choose a file" }), " or drop one");
  const shown = make("div");
  const picker = make("input", { type: "file", accept: input.files.join(","), id: `in-${input.modality}` });
  const drop = make("label", { className: "drop", htmlFor: picker.id }, picker, shown, call, hint);
  const player = make("audio", { controls: true, hidden: true });
  const show = file => {
    chosen = file;
    shown.replaceChildren();
    player.hidden = !file?.type.startsWith("audio/");
    player.removeAttribute("src");
    hint.textContent = file ? file.name : input.files.slice(0, 5).join(" ");
    call.hidden = Boolean(file);
    if (!file) { picker.value = ""; return; }
    if (file.type.startsWith("image/"))
      shown.append(make("img", { className: "shown", alt: file.name, src: URL.createObjectURL(file) }));
    if (!player.hidden) player.src = URL.createObjectURL(file);
  };
  const take = async file => {
    try {
      // What the server's decoder does not know, such as a phone's recordings, this browser may.
      show(!known(file.name) && file.type.startsWith("audio/") ? await toWav(file) : file);
    } catch (error) { fail(error); }
  };
  picker.addEventListener("change", () => picker.files[0] && take(picker.files[0]));
  for (const name of ["dragover", "dragenter"])
    drop.addEventListener(name, event => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"])
    drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", event => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  $("#ask").addEventListener("reset", () => show(null));
  given.set(input.modality, () => chosen);
  const recorder = input.files.includes(".wav") ? recordButton(take) : null;
  return make("fieldset", {}, make("legend", { textContent: input.modality }), drop, player, recorder);
};
// What is answered, by the shape of the record.
const isList = (value, test) => Array.isArray(value) && value.length > 0 && value.every(test);
const pair = item => {
  const values = Object.values(item ?? {});
  const name = values.find(v => typeof v === "string");
  const share = values.find(v => typeof v === "number" && v >= 0 && v <= 1);
  return name === undefined || share === undefined || "start" in item ? null : [name, share];
};
const timed = item => typeof item?.start === "number" && typeof item?.end === "number";
const clock = s => `${Math.floor(s / 60)}:${(s % 60).toFixed(1).padStart(4, "0")}`;
const barList = items => make("ol", { className: "bars" }, ...items.map(item => {
  const [name, share] = pair(item);
  const row = make("li", {}, make("span", { textContent: name }), make("b", { textContent: `${(100 * share).toFixed(1)} %` }));
  row.style.setProperty("--v", share);
  return row;
}));
const timeList = items => make("ol", { className: "timed" }, ...items.map(item => make("li", {},
  make("span", { textContent: `${clock(item.start)} – ${clock(item.end)}` }),
  make("b", { textContent: Object.values(item).find(v => typeof v === "string") ?? "" }))));
const describe = value => {
  if (typeof value === "number") return short(value);
  if (isList(value, v => typeof v === "number")) return `${value.length.toLocaleString("en")} numbers`;
  if (value && typeof value === "object" && !Array.isArray(value))
    return Object.entries(value).map(([name, each]) => `${name}: ${describe(each)}`).join(", ");
  return typeof value === "string" ? value : JSON.stringify(value);
};
const render = record => {
  const entries = Object.entries(record), facts = make("dl"), lists = [];
  const main = entries.find(([, v]) => typeof v === "string") ?? entries.find(([, v]) => typeof v === "number");
  const shares = new Set();
  for (const [, value] of entries) {
    if (isList(value, pair)) { lists.push(barList(value)); shares.add(pair(value[0])[1]); }
    else if (isList(value, timed)) lists.push(timeList(value));
  }
  for (const [name, value] of entries) {
    if (name === main?.[0] || shares.has(value) || isList(value, pair) || isList(value, timed)) continue;
    if (Array.isArray(value) && !value.length) continue;
    facts.append(make("dt", { textContent: name }), make("dd", { textContent: describe(value) }));
  }
  const said = main ? describe(main[1]) || "(an empty text)" : null;
  return [
    said === null ? null : make("p", { className: `said${said.length > 80 ? " long" : ""}`, textContent: said }),
    ...lists, facts.children.length ? facts : null,
  ].filter(Boolean);
};
const neighbour = hit => {
  const item = make("li", { title: hit.id });
  item.append(make("div"), make("p", {}, make("b", { textContent: hit.score.toFixed(4) }), " ",
    make("span", { className: "id", textContent: hit.id.split("/").pop() })));
  ask(hit.preview.slice(1)).then(response => response.blob()).then(async blob => {
    const source = { src: URL.createObjectURL(blob), alt: hit.id };
    item.firstChild.append(blob.type.startsWith("image/") ? make("img", source)
      : blob.type.startsWith("audio/") ? make("audio", { controls: true, src: source.src })
        : make("pre", { textContent: await blob.text() }));
  }).catch(() => item.firstChild.append(make("p", { className: "soft", textContent: "cannot be shown" })));
  return item;
};
const fail = error => {
  const words = make("p", { className: "banner alarm", textContent: error.message });
  words.setAttribute("role", "alert");
  $("#answer").replaceChildren(words);
};
const rounded = (key, value) => isList(value, v => typeof v === "number") && value.length > 16
  ? [...value.slice(0, 16), `… ${value.length - 16} more`] : value;
const shownAs = source => source.startsWith("data:image/") ? make("img", { className: "shown", alt: "the prediction", src: source })
  : source.startsWith("data:audio/") ? make("audio", { controls: true, src: source })
    : make("pre", { textContent: new TextDecoder().decode(Uint8Array.from(atob(source.split(",")[1]), c => c.charCodeAt(0))) });
const show = (answer, milliseconds) => {
  const found = answer.neighbours
    ? [make("ol", { className: "neighbours", ariaLabel: "nearest first" }, ...answer.neighbours.map(neighbour))] : [];
  const drawn = Object.values(answer.shown ?? {}).map(shownAs);
  delete answer.shown;
  const raw = make("details", {}, make("summary", { textContent: "As JSON" }),
    make("pre", { textContent: JSON.stringify(answer, rounded, 2) }));
  const took = make("p", { className: "note soft", textContent: `${Math.round(milliseconds)} ms` });
  $("#answer").replaceChildren(...found, ...drawn, ...render(answer.prediction), took, raw);
};

const submit = async event => {
  event.preventDefault();
  const form = new FormData(), button = $("#ask button.main");
  for (const [modality, part] of given) if (part() !== null) form.append(modality, part());
  if ([...form].length === 0) return fail(new Error("There is nothing to predict yet: fill in an input."));
  button.disabled = true;
  $("#busy").textContent = "working …";
  $("#answer").classList.add("waiting");
  const started = performance.now();
  try {
    const response = await ask("predict?show=true", { method: "POST", body: form });
    show(await response.json(), performance.now() - started);
  } catch (error) { fail(error); } finally {
    button.disabled = false;
    $("#busy").textContent = "";
    $("#answer").classList.remove("waiting");
    if (matchMedia("(max-width: 800px)").matches) $("#answer").scrollIntoView({ behavior: "smooth" });
  }
};

const curl = card => {
  const parts = card.inputs.map(input => Object.keys(input.fields).length
    ? `-F ${input.modality}='${JSON.stringify(Object.fromEntries(Object.keys(input.fields).slice(0, 2).map(n => [n, input.fields[n]?.[0] ?? 1])))}'`
    : input.text ? `-F ${input.modality}='Some text'` : `-F ${input.modality}=@file${input.files[0] ?? ""}`);
  return `curl ${parts.join(" \\\n  ")} \\\n  ${new URL("predict", location.href)}`;
};
const begin = async () => {
  const card = await (await ask("model")).json();
  for (const input of card.inputs)
    $("#inputs").append(Object.keys(input.fields).length ? rowInput(input) : input.text ? textInput(input) : fileInput(input));
  const facts = [card.inputs.map(input => `${input.modality}: ${input.backbone}`).join(" · ")];
  if (card.classes.length) facts.push(`${card.classes.length.toLocaleString("en")} classes`);
  if (card.library) facts.push(`${card.library.items.toLocaleString("en")} items (${card.library.modality})`);
  if (card.inputs.length > 1) facts.push(card.partial ? "one of the inputs is enough" : "all inputs are needed");
  $("#about").textContent = facts.join(" · ");
  $("#curl").textContent = curl(card);
};
$("#ask").addEventListener("submit", submit);
$("#ask").addEventListener("reset", () => $("#answer").replaceChildren(make("p", { className: "soft", textContent: "The answer appears here." })));
begin().catch(fail);
