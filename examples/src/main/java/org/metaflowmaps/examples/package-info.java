/** Complete example programs; the tests run each of them. Nothing in the library depends on this package. */
@NullMarked
package org.metaflowmaps.examples;

import org.jspecify.annotations.NullMarked;
