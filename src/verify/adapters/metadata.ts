/** How the metadata of a resource is sent: to pages of other sites as well. */
export const publicly = Object.freeze({ 'cache-control': 'public, max-age=300', 'access-control-allow-origin': '*' });
