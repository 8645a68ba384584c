"""The script of a report: unpacks plotly.js and draws charts where the still drawings stand.

A chart is drawn when it comes near the screen; `data-ready` on the root element then counts them.
Where something is missing (scripts, an old browser, WebGL) the still drawing stays.
"""

SCRIPT = """
(async () => {
  const root = document.documentElement;
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details")) each.open = true;
  });
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const packed = document.getElementById("plotly");
  if (!packed || !("DecompressionStream" in window)) return;
  const bytes = Uint8Array.from(atob(packed.textContent), (c) => c.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(plain).text();
  document.head.append(script);
  const canvas = document.createElement("canvas");
  const webgl = !!(window.WebGLRenderingContext && canvas.getContext("webgl"));
  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const themed = (layout) => {
    const ink = colour("ink"), muted = colour("muted"), grid = colour("grid");
    const line = { gridcolor: grid, zerolinecolor: grid, linecolor: grid,
      tickfont: { color: muted } };
    const own = JSON.parse(JSON.stringify(layout).replaceAll("MUTED", muted));
    const axis = (given) => ({ ...line, ...given,
      title: { font: { color: muted, size: 12.5 }, ...(given || {}).title } });
    const clear = "rgba(0,0,0,0)";
    return { ...own, autosize: true, paper_bgcolor: clear, plot_bgcolor: clear,
      font: { ...own.font, color: ink, family: getComputedStyle(document.body).fontFamily },
      xaxis: axis(own.xaxis), yaxis: axis(own.yaxis),
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      hoverlabel: { bgcolor: colour("card"), bordercolor: grid, font: { color: ink } } };
  };
  const options = { responsive: true, displayModeBar: false };
  const drawn = [];
  const draw = async (live) => {
    const wanted = charts[live.dataset.name];
    if (!webgl && wanted.some((each) => each.webgl)) return;
    live.parentElement.classList.add("drawn");
    for (const [i, place] of [...live.children].entries()) {
      const show = () => Plotly.react(place, wanted[i].data, themed(wanted[i].layout), options);
      await show();
      drawn.push(show);
    }
  };
  const lives = [...document.querySelectorAll(".live")];
  for (const live of lives) if (live.children.length > 1) live.classList.add("many");
  let left = lives.length;
  const ended = () => { left -= 1; if (!left) root.dataset.ready = String(drawn.length); };
  if (!left) root.dataset.ready = "0";
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      seen.unobserve(entry.target);
      draw(entry.target.querySelector(".live")).finally(ended);
    }
  }, { rootMargin: "600px" });
  for (const live of lives) seen.observe(live.parentElement);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", () => drawn.forEach((show) => show()));
})();
"""
