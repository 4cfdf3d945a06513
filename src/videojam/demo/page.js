"use strict";
// One clock drives every player: videos play by themselves and are put right when they are off by more than
// half a frame, so that a slow machine shows fewer frames but never different ones side by side.
(() => {
  const fps = Number(document.body.dataset.fps);
  const frames = Number(document.body.dataset.frames);
  const duration = frames / fps;
  const tolerance = 0.5 / fps;
  const byId = (id) => document.getElementById(id);
  const play = byId("play"), scrub = byId("scrub"), label = byId("frame"), loop = byId("loop");
  const visible = new Set();
  let playing = false, speed = 1, time = 0, last = 0;

  const allVideos = () => document.querySelectorAll("video");
  const cardVideos = (card) => card.querySelectorAll("video");
  const frameAt = (t) => Math.min(frames - 1, Math.floor(t * fps + 1e-6));

  function show() {
    const frame = frameAt(time);
    scrub.value = frame;
    label.textContent = `${frame + 1}/${frames}`;
    scrub.setAttribute("aria-valuetext", `frame ${frame + 1} of ${frames}`);
  }

  function hold(video) { // paused: the middle of the frame, where no rounding can pick a neighbour
    video.pause();
    const middle = (frameAt(time) + 0.5) / fps;
    if (Math.abs(video.currentTime - middle) > 1e-3) video.currentTime = middle;
  }

  function follow(video) {
    if (video.readyState < 2 || video.seeking) return;
    if (Math.abs(video.currentTime - time) > tolerance) video.currentTime = time;
    video.playbackRate = speed;
    if (video.paused && !(video.ended && time > duration - 1 / fps)) video.play().catch(() => {});
  }

  function tick(now) {
    const passed = Math.min(0.25, (now - last) / 1000); // a hidden tab must not jump
    last = now;
    if (playing) {
      time += passed * speed;
      if (time >= duration) {
        if (loop.checked) time %= duration;
        else { time = duration - 0.5 / fps; setPlaying(false); }
      }
      if (playing) {
        for (const card of visible) cardVideos(card).forEach(follow);
        show();
      }
    }
    requestAnimationFrame(tick);
  }

  function setPlaying(on) {
    if (on && !loop.checked && frameAt(time) === frames - 1) time = 0;
    playing = on;
    last = performance.now();
    play.textContent = on ? "Pause" : "Play";
    play.setAttribute("aria-pressed", String(on));
    if (!on) { allVideos().forEach(hold); show(); }
  }

  function seek(frame) {
    time = (Math.max(0, Math.min(frames - 1, frame)) + 0.5) / fps;
    setPlaying(false);
  }

  function setMotion(mode) {
    document.body.dataset.motion = mode;
    document.querySelectorAll("video.over").forEach((video) => video.remove());
    if (mode === "over") {
      for (const card of document.querySelectorAll(".card")) {
        const source = card.querySelector(".motion video");
        const stage = card.querySelector(".videojam .stage");
        if (!source || !stage) continue;
        const copy = source.cloneNode();
        copy.classList.add("over");
        copy.muted = true; // the attribute of a clone does not set the property
        copy.addEventListener("loadeddata", () => { if (!playing) hold(copy); });
        stage.append(copy);
      }
    }
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) visible.add(target);
      else { visible.delete(target); cardVideos(target).forEach((video) => video.pause()); }
    }
  }, { rootMargin: "200px" });
  document.querySelectorAll(".card").forEach((card) => watcher.observe(card));

  play.addEventListener("click", () => setPlaying(!playing));
  scrub.addEventListener("input", () => seek(Number(scrub.value)));
  byId("speed").addEventListener("change", (event) => { speed = Number(event.target.value); });
  byId("motion").addEventListener("change", (event) => setMotion(event.target.value));
  byId("kind").addEventListener("change", (event) => {
    for (const card of document.querySelectorAll(".card")) {
      card.hidden = event.target.value !== "" && card.dataset.kind !== event.target.value;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, select, button") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") { event.preventDefault(); setPlaying(!playing); }
    else if (event.key === "ArrowRight") seek(frameAt(time) + 1);
    else if (event.key === "ArrowLeft") seek(frameAt(time) - 1);
  });

  show();
  requestAnimationFrame(tick);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) setPlaying(true);
})();
