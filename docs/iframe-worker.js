// Browsers start no worker from the disk (file://), and the search of the site is one: there, an invisible frame takes its place.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = Object.assign(document.createElement("iframe"), {hidden: true})
      document.body.append(this.frame)
      const inside = this.frame.contentDocument
      inside.open()
      inside.write(`<body><script>
        postMessage = data => parent.postMessage(data, "*")
        importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise(loaded => {
          const script = document.createElement("script")
          script.src = url
          script.onload = loaded
          document.body.append(script)
        })), Promise.resolve())
      </script><script src="${url}"></script></body>`)
      inside.close()
      this.loaded = new Promise(loaded => this.frame.contentWindow.addEventListener("load", loaded))
      addEventListener("message", said => {
        if (said.source === this.frame.contentWindow) {
          const told = new MessageEvent("message", {data: said.data})
          this.dispatchEvent(told)
          this.onmessage?.(told)
        }
      })
    }
    postMessage(data) {
      this.loaded.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", {data})))
    }
    terminate() {
      this.frame.remove()
    }
  }
}
