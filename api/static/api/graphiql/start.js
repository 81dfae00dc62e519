// Starts GraphiQL against the page's own address.
(function () {
  "use strict";
  var root = document.getElementById("graphiql");
  function fetcher(parameters) {
    return fetch(window.location.pathname, {
      method: "POST",
      credentials: "same-origin",
      headers: {
        "Accept": "application/json",
        "Content-Type": "application/json",
      },
      body: JSON.stringify(parameters),
    }).then(function (response) {
      return response.text().then(function (text) {
        try {
          return JSON.parse(text);
        } catch (error) {
          return { errors: [{ message: response.status + ": " + text.slice(0, 500) }] };
        }
      });
    });
  }
  ReactDOM.createRoot(root).render(
    React.createElement(GraphiQL, { fetcher: fetcher, defaultQuery: root.dataset.question })
  );
})();
