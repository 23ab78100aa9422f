// The token of this tab, and requests that carry it.
const KEY = "modelsync-token";

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};

export function ask(url, options = {}) {
  const headers = new Headers(options.headers);
  if (token.get()) headers.set("Authorization", `Bearer ${token.get()}`);
  return fetch(url, { ...options, headers });
}

// Calls `open` with the token that was typed; `open` returns whether it was good.
export function onSignIn(open) {
  const form = document.getElementById("signin");
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    token.set(form.querySelector("input").value.trim());
    const good = await open();
    document.getElementById("refused")?.toggleAttribute("hidden", good);
    if (!good) token.forget();
  });
}
