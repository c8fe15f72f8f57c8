"use strict";
const $ = selector => document.querySelector(selector);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter(child => child !== null));
  return element;
};
// The server, and the key that it may ask for.
const ask = async (path, options = {}) => {
  const key = sessionStorage.getItem("mmft-key");
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...options, headers }).catch(error => {
    throw error.name === "AbortError" ? error : new Error("The server cannot be reached. Is it still running?");
  });
  if (response.status === 401) {
    await askKey();
    return ask(path, options);
  }
  if (!response.ok) {
    const failure = await response.json().catch(() => ({}));
    throw new Error(failure.error?.message || failure.error || `The server answered ${response.status}.`);
  }
  return response;
};
let asked = null;
const askKey = () => asked ??= new Promise(done => {
  const dialog = $("#key");
  dialog.addEventListener("close", () => {
    sessionStorage.setItem("mmft-key", $("#key input").value);
    asked = null;
    done();
  }, { once: true });
  dialog.showModal();
});

// Recordings go out as WAV, mono and 16 bits, whatever the browser records or decodes.
const wav = buffer => {
  const channels = [...Array(buffer.numberOfChannels).keys()].map(c => buffer.getChannelData(c));
  const view = new DataView(new ArrayBuffer(44 + 2 * buffer.length));
  const word = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  word(0, "RIFF"); view.setUint32(4, 36 + 2 * buffer.length, true); word(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, buffer.sampleRate, true); view.setUint32(28, 2 * buffer.sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  word(36, "data"); view.setUint32(40, 2 * buffer.length, true);
  for (let i = 0; i < buffer.length; i++) {
    const mean = channels.reduce((sum, channel) => sum + channel[i], 0) / channels.length;
    view.setInt16(44 + 2 * i, Math.round(32767 * Math.max(-1, Math.min(1, mean))), true);
  }
  return new File([view], "recording.wav", { type: "audio/wav" });
};
const toWav = async blob => {
  const context = new AudioContext({ sampleRate: 16000 });
  try {
    return wav(await context.decodeAudioData(await blob.arrayBuffer()));
  } catch {
    throw new Error("This browser cannot decode the recording.");
  } finally {
    context.close();
  }
};
const recordButton = take => {
  const button = make("button", { type: "button", className: "record", textContent: "● Record" });
  let recorder = null;
  const begin = async () => {
    if (!navigator.mediaDevices)
      throw new Error("Browsers record only on pages of this machine or behind HTTPS.");
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true }).catch(() => {
      throw new Error("The microphone may not be used, or there is none.");
    });
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.addEventListener("dataavailable", event => parts.push(event.data));
    recorder.addEventListener("stop", async () => {
      stream.getTracks().forEach(track => track.stop());
      recorder = null;
      button.textContent = "● Record again";
      button.classList.remove("recording");
      try { await take(await toWav(new Blob(parts))); } catch (error) { fail(error); }
    });
    recorder.start();
    button.textContent = "■ Stop";
    button.classList.add("recording");
  };
  button.addEventListener("click", () => recorder ? recorder.stop() : begin().catch(fail));
  return button;
};
