"use strict";
// Every run on the page has one clock: its videos play by themselves and are put right when they are off by more than
// half a frame. Gradio replaces parts of the page at will, so nothing is held on to: each tick looks at what is there.
(() => {
  const clocks = new WeakMap();
  const fpsOf = (video) => Number(video.dataset.fps);
  const lengthOf = (video) => Number(video.dataset.frames) / fpsOf(video);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  let then = performance.now();

  function clockOf(run) {
    if (!clocks.has(run)) clocks.set(run, { time: 0, playing: !calm, speed: 1 });
    return clocks.get(run);
  }

  function hold(video, time) { // the middle of the frame, where no rounding can pick a neighbour
    video.pause();
    const frame = Math.min(Number(video.dataset.frames) - 1, Math.floor(time * fpsOf(video) + 1e-6));
    const middle = (frame + 0.5) / fpsOf(video);
    if (video.readyState > 0 && Math.abs(video.currentTime - middle) > 1e-3) video.currentTime = middle;
  }

  function follow(video, clock) {
    if (video.readyState < 2 || video.seeking) return;
    if (clock.time >= lengthOf(video) - 0.5 / fpsOf(video)) return hold(video, clock.time);
    if (Math.abs(video.currentTime - clock.time) > 0.5 / fpsOf(video)) video.currentTime = clock.time;
    video.playbackRate = clock.speed;
    if (video.paused) video.play().catch(() => {});
  }

  function step(run, passed) {
    const clock = clockOf(run), videos = [...run.querySelectorAll("video")];
    if (!videos.length || !run.getClientRects().length) return;
    const length = Math.max(...videos.map(lengthOf));
    if (clock.playing) clock.time = (clock.time + passed * clock.speed) % length;
    for (const video of videos) {
      video.muted = true;
      if (clock.playing && video.getClientRects().length) follow(video, clock);
      else hold(video, clock.time);
    }
    const play = run.querySelector(".vj-play"), scrub = run.querySelector(".vj-scrub");
    if (!play) return;
    const word = clock.playing ? "Pause" : "Play";
    if (play.textContent !== word) play.textContent = word;
    if (document.activeElement !== scrub || clock.playing) scrub.value = Math.round(1000 * clock.time / length);
    scrub.setAttribute("aria-valuetext", `${clock.time.toFixed(2)} s of ${length.toFixed(2)} s`);
  }

  function tick(now) {
    const passed = Math.min(0.25, (now - then) / 1000); // a hidden tab must not jump
    then = now;
    for (const run of document.querySelectorAll(".vj-run")) step(run, passed);
    requestAnimationFrame(tick);
  }

  document.addEventListener("click", (event) => {
    const play = event.target.closest?.(".vj-play");
    if (!play) return;
    const clock = clockOf(play.closest(".vj-run"));
    clock.playing = !clock.playing;
  });
  document.addEventListener("input", (event) => {
    const run = event.target.closest?.(".vj-run");
    if (!run) return;
    const clock = clockOf(run), length = Math.max(...[...run.querySelectorAll("video")].map(lengthOf));
    if (event.target.matches(".vj-scrub")) Object.assign(clock, { playing: false, time: Math.min(0.999, event.target.value / 1000) * length });
    if (event.target.matches(".vj-speed")) clock.speed = Number(event.target.value);
    if (event.target.matches(".vj-how")) run.dataset.motion = event.target.value;
  });
  requestAnimationFrame(tick);
})();
