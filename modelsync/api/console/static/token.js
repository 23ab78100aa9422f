// The token, which the browser keeps for this tab only, and requests that carry it.
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

// Stores the token that was typed and calls `open`, which returns whether the service accepted it.
export function onSignIn(open) {
  const form = document.getElementById("signin");
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    token.set(form.querySelector("input").value.trim());
    const accepted = await open();
    document.getElementById("refused")?.toggleAttribute("hidden", accepted);
    if (!accepted) token.forget();
  });
}
