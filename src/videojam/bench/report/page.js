"use strict";
// One clock in seconds drives every player, of any frame rate and length: videos play by themselves and are
// put right when they are off by more than half a frame; one that is over waits on its last frame for the others.
(() => {
  const byId = (id) => document.getElementById(id);
  const videos = () => [...document.querySelectorAll("video")];
  const fpsOf = (video) => Number(video.dataset.fps), framesOf = (video) => Number(video.dataset.frames);
  const lengthOf = (video) => framesOf(video) / fpsOf(video);
  const step = 1 / Math.max(1, ...videos().map(fpsOf));
  const duration = Math.max(step, ...videos().map(lengthOf));
  const last = Math.max(0, Math.round(duration / step) - 1);
  const play = byId("play"), scrub = byId("scrub"), label = byId("frame"), loop = byId("loop");
  const visible = new Set();
  let playing = false, speed = 1, time = 0, then = 0;
  scrub.max = last;

  const stepAt = (t) => Math.min(last, Math.floor(t / step + 1e-6));
  const videosIn = (card) => card.querySelectorAll("video");

  function show() {
    scrub.value = stepAt(time);
    label.textContent = `${time.toFixed(2)} s`;
    scrub.setAttribute("aria-valuetext", label.textContent);
  }

  function hold(video) { // paused: the middle of the frame, where no rounding can pick a neighbour
    video.pause();
    const frame = Math.min(framesOf(video) - 1, Math.floor(time * fpsOf(video) + 1e-6));
    const middle = (frame + 0.5) / fpsOf(video);
    if (Math.abs(video.currentTime - middle) > 1e-3) video.currentTime = middle;
  }

  function follow(video) {
    if (video.readyState < 2 || video.seeking) return;
    if (time >= lengthOf(video) - 0.5 / fpsOf(video)) { hold(video); return; }
    if (Math.abs(video.currentTime - time) > 0.5 / fpsOf(video)) video.currentTime = time;
    video.playbackRate = speed;
    if (video.paused) video.play().catch(() => {});
  }

  function tick(now) {
    const passed = Math.min(0.25, (now - then) / 1000); // a hidden tab must not jump
    then = now;
    if (playing) {
      time += passed * speed;
      if (time >= duration) {
        if (loop.checked) time %= duration;
        else { time = duration - 0.5 * step; setPlaying(false); }
      }
      if (playing) {
        for (const card of visible) videosIn(card).forEach(follow);
        show();
      }
    }
    requestAnimationFrame(tick);
  }

  function setPlaying(on) {
    if (on && !loop.checked && stepAt(time) === last) time = 0;
    playing = on;
    then = performance.now();
    play.textContent = on ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(on));
    if (!on) { videos().forEach(hold); show(); }
  }

  function seek(number) {
    time = (Math.max(0, Math.min(last, number)) + 0.5) * step;
    setPlaying(false);
  }

  function setMotion(mode) {
    document.body.dataset.motion = mode;
    document.querySelectorAll("video.over").forEach((video) => video.remove());
    if (mode !== "over") return;
    for (const figure of document.querySelectorAll("figure.motion")) {
      const source = figure.querySelector("video");
      const stage = figure.previousElementSibling.querySelector(".stage");
      if (!source || !stage.querySelector("video")) continue;
      const copy = source.cloneNode();
      copy.classList.add("over");
      copy.muted = true; // the attribute of a clone does not set the property
      copy.addEventListener("loadeddata", () => { if (!playing) hold(copy); });
      stage.append(copy);
    }
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) visible.add(target);
      else { visible.delete(target); videosIn(target).forEach((video) => video.pause()); }
    }
  }, { rootMargin: "200px" });
  document.querySelectorAll(".card").forEach((card) => watcher.observe(card));

  play.addEventListener("click", () => setPlaying(!playing));
  scrub.addEventListener("input", () => seek(Number(scrub.value)));
  byId("speed").addEventListener("change", (event) => { speed = Number(event.target.value); });
  byId("motion")?.addEventListener("change", (event) => setMotion(event.target.value));
  byId("kind")?.addEventListener("change", (event) => {
    for (const card of document.querySelectorAll(".card")) {
      card.hidden = event.target.value !== "" && card.dataset.kind !== event.target.value;
    }
  });
  byId("arms")?.addEventListener("change", (event) => {
    for (const figure of document.querySelectorAll("figure")) {
      if (figure.dataset.arm === event.target.value) figure.hidden = !event.target.checked;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, button, summary, a") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") { event.preventDefault(); setPlaying(!playing); }
    else if (event.key === "ArrowRight") seek(stepAt(time) + 1);
    else if (event.key === "ArrowLeft") seek(stepAt(time) - 1);
  });

  show();
  requestAnimationFrame(tick);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (videos().length && !calm) setPlaying(true);
})();
