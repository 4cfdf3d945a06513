"use strict";
// One rater's session: consent, instructions, then pair after pair. The server decides what is shown; nothing about
// models reaches this page. Text from the server is only ever set as text.

const $ = (id) => document.getElementById(id);
const SECTIONS = ["welcome", "instructions", "rate", "message"];
const videos = [$("left"), $("right")];
const state = { study: null, token: "", assignment: null, answers: {}, asked: 0, unlocked: false, ended: [false, false], sending: false, urls: [], load: 0 };

// --- talking to the server ---

async function call(name, content = {}) {
  const headers = { "content-type": "application/json" };
  if (state.token) headers.authorization = "Bearer " + state.token;
  let answer;
  try {
    answer = await fetch("/api/" + name, { method: "POST", headers, body: JSON.stringify(content) });
  } catch {
    throw { status: 0, message: "The server can't be reached." };
  }
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw { status: answer.status, message: found.error || "The server could not answer." };
  return found;
}

// A vote is sent again until it is acknowledged: the server takes the same vote once.
async function insist(name, content) {
  for (let wait = 500; ; wait = Math.min(2 * wait, 8000)) {
    try {
      return await call(name, content);
    } catch (error) {
      if (error.status !== 0 && error.status < 500) throw error;
      hint(error.message + " Trying again…");
      await new Promise((done) => setTimeout(done, wait));
    }
  }
}

// --- the token: in the link after #, so that it is in no log; kept for the next visit where that is allowed ---

const remember = (key, value) => { try { value === null ? localStorage.removeItem(key) : localStorage.setItem(key, value); } catch { /* private window */ } };
const recall = (key) => { try { return localStorage.getItem(key) || ""; } catch { return ""; } };
const place = () => "videojam-study-" + state.study.id;

function show(name) {
  for (const section of SECTIONS) $(section).hidden = section !== name;
  $("bar").hidden = name !== "rate";
  if (name !== "rate") videos.forEach((video) => video.pause());
  $("page").focus({ preventScroll: true });
  scrollTo(0, 0);
}

function message(head, text, { code = "", url = "", resume = false } = {}) {
  $("message-head").textContent = head;
  $("message-text").textContent = text;
  $("code").textContent = code;
  $("code").hidden = !code;
  $("go").hidden = !url;
  if (url) $("go").href = url;
  $("resume").hidden = !resume;
  show("message");
}

const hint = (text) => { $("hint").textContent = text; };
const failed = (error) => message(error.status === 410 ? "Closed" : "That did not work", error.message, { resume: error.status === 0 || error.status >= 500 || error.status === 403 && !!state.assignment });

async function start() {
  const given = new URLSearchParams(location.hash.slice(1)).get("t") || "";
  try {
    state.study = await call("study");
    document.title = state.study.title;
    document.querySelector(".title").textContent = state.study.title;
    $("consent").textContent = state.study.consent;
    $("contact").textContent = state.study.contact ? "Questions: " + state.study.contact : "";
    $("how").textContent = state.study.instructions;
    state.token = given || recall(place());
    if (!state.token && !state.study.open) return message("A link is needed", "This study is for people with a link of their own. Open the link that you were given.");
    if (state.token) await returning();
    else show("welcome");
  } catch (error) { failed(error); }
}

async function returning() {
  try {
    const found = await call("study");
    $("delete").hidden = !found.consented;
    if (!found.consented) show("welcome");
    else if (found.progress.done) await next();
    else show("instructions");
  } catch (error) {
    if (error.status === 0) throw error;
    remember(place(), null);
    state.token = "";
    if (state.study.open && error.status === 401) show("welcome");
    else throw error;
  }
}

async function agree() {
  $("agree").disabled = true;
  try {
    if (state.token) await call("consent");
    else {
      state.token = (await call("join", { query: Object.fromEntries(new URLSearchParams(location.search)) })).token;
      remember(place(), state.token);
    }
    $("delete").hidden = false;
    show("instructions");
  } catch (error) { failed(error); } finally { $("agree").disabled = false; }
}

// --- a pair ---

async function next() {
  const found = await call("next");
  const { done, total } = found.progress;
  $("count").textContent = `${done} of ${total}`;
  $("fill").style.width = `${total ? 100 * done / total : 0}%`;
  $("track").setAttribute("aria-valuemax", total);
  $("track").setAttribute("aria-valuenow", done);
  state.assignment = found.assignment;
  if (!found.assignment) return finish(found.completion);
  Object.assign(state, { answers: {}, asked: 0, unlocked: false, ended: [false, false], sending: false });
  $("practice").hidden = !found.assignment.practice;
  $("prompt").textContent = found.assignment.prompt;
  ask();
  show("rate");
  await load(found.assignment);
}

function finish(completion) {
  state.assignment = null;
  if (!completion) return message("Nothing left to rate", "All pairs have their votes. Thank you for coming.");
  message("Done. Thank you!", "Your answers are saved. This is your completion code:", completion);
}

async function load(assignment) {
  const number = ++state.load;
  hint("Loading the clips…");
  videos.forEach((video) => { video.pause(); video.removeAttribute("src"); video.load(); });
  state.urls.forEach((url) => URL.revokeObjectURL(url));
  const urls = await Promise.all([assignment.left, assignment.right].map(clip));
  if (number !== state.load) return;
  state.urls = urls;
  await Promise.all(videos.map((video, i) => new Promise((done, fail) => {
    video.oncanplaythrough = done;
    video.onerror = () => fail({ status: 500, message: "A clip can't be played by this browser. Try another browser." });
    video.src = urls[i];
    video.load();
  })));
  if (number !== state.load) return;
  fit();
  hint("Watch both clips to the end once.");
  replay();
}

async function clip(path) {
  for (let tries = 0; ; tries++) {
    try {
      const answer = await fetch(path);
      if (!answer.ok) throw { status: answer.status, message: "A clip is missing." };
      return URL.createObjectURL(await answer.blob());
    } catch (error) {
      if (tries === 4) throw { status: error.status || 0, message: error.message || "A clip could not be loaded." };
      await new Promise((done) => setTimeout(done, 500 * 2 ** tries));
    }
  }
}

// Both clips have boxes of one shape, that of the wider one; small clips are enlarged without blur.
function fit() {
  const shapes = videos.map((video) => video.videoWidth / video.videoHeight);
  const shape = Math.max(...shapes);
  $("stage").style.setProperty("--shape", String(shape));
  $("stage").style.setProperty("--rendering", Math.max(...videos.map((video) => video.videoHeight)) < 200 ? "pixelated" : "auto");
  $("stage").classList.toggle("wide", shape > 1.2);
}

function replay() {
  if ($("rate").hidden || !state.assignment) return;
  state.ended = [false, false];
  videos.forEach((video) => { video.currentTime = 0; });
  Promise.all(videos.map((video) => video.play())).catch((error) => {
    if (error.name === "NotAllowedError") hint("Press “Play from the start”.");
  });
}

// In step: both begin together, and the shorter one waits for the other at the end of each round.
function ended(i) {
  state.ended[i] = true;
  if (!state.ended.every(Boolean)) return;
  if (!state.unlocked) { state.unlocked = true; hint(""); buttons(); }
  replay();
}

const DRIFT_S = 0.1;
function keepInStep() {
  const [left, right] = videos;
  const both = !left.paused && !right.paused && !left.ended && !right.ended && !left.seeking && !right.seeking;
  if (both && Math.abs(left.currentTime - right.currentTime) > DRIFT_S) right.currentTime = left.currentTime;
}

// --- answering ---

function ask() {
  const questions = state.study.questions, question = questions[state.asked];
  const number = questions.length > 1 ? `${state.asked + 1} of ${questions.length}: ` : "";
  $("question").textContent = number + question.text;
  $("prompt").classList.toggle("asked", question.about_prompt);
  const before = state.answers[question.name];
  $("choose-left").classList.toggle("was", before === "left");
  $("choose-right").classList.toggle("was", before === "right");
  buttons();
}

function buttons() {
  const off = !state.unlocked || state.sending;
  $("choose-left").disabled = $("choose-right").disabled = off;
  $("back").disabled = state.asked === 0 || state.sending;
}

async function choose(side) {
  if (!state.unlocked || state.sending || !state.assignment || $("rate").hidden) return;
  const questions = state.study.questions;
  state.answers[questions[state.asked].name] = side;
  if (state.asked + 1 < questions.length) { state.asked++; hint(""); return ask(); }
  state.sending = true;
  buttons();
  const practised = state.assignment.practice;
  try {
    const taken = await insist("vote", { assignment: state.assignment.id, answers: state.answers });
    if (practised) return explain(taken.true_side);
    await next();
  } catch (error) {
    if (error.status === 409) return next().catch(failed); // voted in another window
    if (error.status === 425) { state.sending = false; state.unlocked = false; hint(error.message); buttons(); return replay(); }
    failed(error);
  }
}

function explain(side) {
  const motion = side === "left" ? "A" : "B";
  message("That was for practice", side
    ? `The frames of clip ${motion === "A" ? "B" : "A"} were put in random order, so ${motion} has the more coherent motion. From now on your answers count.`
    : "From now on your answers count.", { resume: true });
}

function back() {
  if (state.asked === 0 || state.sending) return;
  state.asked--;
  ask();
}

// --- pause, resume, delete ---

function pause() {
  message("Paused", "Your answers are saved. Go on whenever you like, or close this page and come back with the same link.", { resume: true });
}

async function resume() {
  try {
    if (!state.study) return await start();
    await next();
  } catch (error) { failed(error); }
}

async function remove() {
  try {
    await call("delete");
    remember(place(), null);
    state.token = "";
    state.assignment = null;
    $("delete").hidden = $("sure").hidden = true;
    message("Deleted", "Everything that you gave was removed.");
  } catch (error) { failed(error); }
}

function sure(asked) {
  $("delete").hidden = asked;
  $("sure").hidden = !asked;
}

videos.forEach((video, i) => {
  video.addEventListener("ended", () => ended(i));
  video.addEventListener("timeupdate", keepInStep);
});
$("agree").addEventListener("click", agree);
$("decline").addEventListener("click", () => message("Thank you", "Nothing was stored. You can close this page."));
$("begin").addEventListener("click", () => next().catch(failed));
for (const side of ["left", "right"]) {
  $("choose-" + side).addEventListener("click", (event) => {
    if (event.detail) event.currentTarget.blur(); // after a click, space plays the clips and does not answer
    choose(side);
  });
}
$("back").addEventListener("click", back);
$("replay").addEventListener("click", (event) => { event.currentTarget.blur(); replay(); });
$("pause").addEventListener("click", pause);
$("resume").addEventListener("click", resume);
$("delete").addEventListener("click", () => sure(true));
$("delete-no").addEventListener("click", () => sure(false));
$("delete-yes").addEventListener("click", remove);
document.addEventListener("keydown", (event) => {
  if ($("rate").hidden || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const on = { ArrowLeft: () => choose("left"), ArrowRight: () => choose("right"), ArrowUp: back, " ": replay }[event.key];
  if (!on || event.key === " " && event.target.closest("button, a")) return;
  event.preventDefault();
  on();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) videos.forEach((video) => video.pause());
  else if (!$("rate").hidden && state.assignment) replay();
});
start();
