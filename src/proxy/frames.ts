/** Follows the frames of one direction of a WebSocket (RFC 6455 §5.2), to know where one ends. */
export class Frames {
  #header = Buffer.alloc(0);
  #left = 0;

  /** Reads on; true when the last byte ends a frame. */
  push(bytes: Buffer): boolean {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, bytes.length - at);
        this.#left -= step;
        at += step;
      } else {
        this.#header = Buffer.concat([this.#header, bytes.subarray(at, ++at)]);
        this.#readHeader();
      }
    }
    return this.#left === 0 && this.#header.length === 0;
  }

  #readHeader(): void {
    const header = this.#header;
    if (header.length < 2) return;
    const second = header[1] as number;
    const short = second & 0x7f;
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
    const whole = 2 + lengthBytes + (second & 0x80 ? 4 : 0);
    if (header.length < whole) return;
    this.#left = lengthBytes === 0 ? short : lengthBytes === 2 ? header.readUInt16BE(2) : Number(header.readBigUInt64BE(2));
    this.#header = Buffer.alloc(0);
  }
}
