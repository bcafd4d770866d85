/**
 * Complete programs that show how to use the library; the tests run each of them. Nothing in the library depends on this package.
 */
@NullMarked
package org.metaflowmaps.examples;

import org.jspecify.annotations.NullMarked;
